"""Names that strangers choose."""

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.filenames import PART_SUFFIX, SafeTree, folded, numbered, safe_name, split_extension
from p2pim.core.limits import FILE_NAME

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=400)
NASTY = st.lists(
    st.sampled_from(
        ["..", ".", "/", "\\", "\0", "\n", "\u202e", "\u2066", "\u200b", "con", "NUL", "COM1", ".", " ", "a", "B", "é",
         "e\u0301", ".txt", ".tar.gz", PART_SUFFIX, "\ud800", "\u2028", "：", "x" * 300, "漢" * 100, "\u00a0", "(1)"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


class SafeNameTests(SynchronousTestCase):
    """`safe_name`."""

    @given(st.one_of(ANY_TEXT, NASTY))
    @example("a" * 199 + "." + PART_SUFFIX)
    @example("con" + "x" * 0 + "." + "é" * 150)
    @example(" . " + PART_SUFFIX)
    def test_whatever_comes_in_a_safe_name_comes_out(self, name: str) -> None:
        """It stays in its folder, shows what it is, and can be stored anywhere."""
        safe = safe_name(name)
        self.assertTrue(1 <= len(safe.encode()) <= FILE_NAME)
        self.assertNotIn(safe, {"", ".", ".."})
        self.assertFalse(set(safe) & set('/\\<>:"|?*\0'))
        self.assertFalse({unicodedata.category(c) for c in safe} & {"Cc", "Cf", "Cs", "Zl", "Zp"})
        self.assertEqual(safe, safe.strip().rstrip("."))
        self.assertFalse(safe.casefold().endswith(PART_SUFFIX))
        self.assertNotIn(safe.split(".")[0].strip().upper(), {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"})

    @given(st.one_of(ANY_TEXT, NASTY))
    def test_a_safe_name_is_left_alone(self, name: str) -> None:
        """Both ends may make a name safe without its changing twice."""
        self.assertEqual(safe_name(safe_name(name)), safe_name(name))

    def test_ordinary_names_stay_as_they_are(self) -> None:
        """People find their files under the names they know."""
        for name in ("report.pdf", "Résumé 2024 (final).docx", "漢字.txt", ".bashrc", "a-b_c+d,e.tar.gz", "x" * 200):
            self.assertEqual(safe_name(name), name)

    def test_paths_become_one_name(self) -> None:
        """No name leaves the folder."""
        self.assertEqual(safe_name("../../etc/passwd"), ".._.._etc_passwd")
        self.assertEqual(safe_name("C:\\Windows\\x.dll"), "C__Windows_x.dll")
        self.assertEqual(safe_name(".."), "_")
        self.assertEqual(safe_name("/"), "_")

    def test_the_extension_is_what_it_looks_like(self) -> None:
        """A right-to-left override cannot dress a program up as a picture."""
        self.assertEqual(safe_name("holiday\u202egpj.exe"), "holidaygpj.exe")

    def test_windows_devices_are_disarmed(self) -> None:
        """Opening the file opens a file."""
        for name in ("con", "NUL.txt", "com1", "LPT9.tar.gz", "aux .c", "COM¹"):
            self.assertTrue(safe_name(name).startswith("_"), name)
        self.assertEqual(safe_name("console.txt"), "console.txt")

    def test_a_long_name_keeps_its_extension(self) -> None:
        """Three hundred bytes are cut in the middle of the name, not of its kind."""
        safe = safe_name("é" * 150 + ".jpeg")
        self.assertTrue(safe.endswith("é.jpeg"))
        self.assertLessEqual(len(safe.encode()), FILE_NAME)

    def test_nothing_finished_looks_unfinished(self) -> None:
        """A partial file's name cannot be offered."""
        self.assertEqual(safe_name("x" + PART_SUFFIX), "x" + PART_SUFFIX + "_")


class NumberedTests(SynchronousTestCase):
    """`numbered` and `split_extension`."""

    def test_the_number_goes_before_the_extension(self) -> None:
        """A second report is ``report (1).pdf``."""
        self.assertEqual(numbered("report.pdf", 1), "report (1).pdf")
        self.assertEqual(numbered("data.tar.gz", 2), "data (2).tar.gz")
        self.assertEqual(numbered("README", 1), "README (1)")
        self.assertEqual(numbered(".bashrc", 1), ".bashrc (1)")
        self.assertEqual(numbered("site.v2", 1, folder=True), "site.v2 (1)")
        self.assertEqual(numbered("report.pdf", 0), "report.pdf")

    @given(NASTY)
    def test_an_extension_and_its_stem_make_the_name(self, name: str) -> None:
        """Nothing is lost in the split."""
        self.assertEqual("".join(split_extension(name)), name)


PATHS = st.lists(
    st.lists(st.one_of(NASTY, st.sampled_from(["a", "A", "b", "..", ""])), max_size=4).map("/".join), max_size=12
)


class SafeTreeTests(SynchronousTestCase):
    """`SafeTree`."""

    @given(PATHS)
    def test_no_two_files_share_a_place_even_without_case(self, paths: list[str]) -> None:
        """Nothing inside a folder overwrites anything else inside it."""
        tree = SafeTree()
        places = [tree.file(path) for path in paths]
        keys = [tuple(folded(part) for part in place) for place in places]
        self.assertEqual(len(set(keys)), len(keys))
        for i, key in enumerate(keys):
            for other in keys[i + 1 :]:
                shorter = min(len(key), len(other))
                if len(key) != len(other):
                    self.assertNotEqual(key[:shorter], other[:shorter], "a file where a folder is")

    @given(PATHS)
    def test_every_part_of_a_place_is_safe(self, paths: list[str]) -> None:
        """No path leaves the folder."""
        tree = SafeTree()
        for path in paths:
            for part in (*tree.file(path), *tree.folder(path)):
                self.assertNotIn(part, {"", ".", ".."})
                self.assertNotIn("/", part)
                self.assertLess(len(part.encode()), 256)

    @given(PATHS)
    def test_the_same_paths_get_the_same_places(self, paths: list[str]) -> None:
        """A transfer that goes on after a restart finds its files."""
        first, second = SafeTree(), SafeTree()
        self.assertEqual([first.file(p) for p in paths], [second.file(p) for p in paths])

    def test_case_alone_does_not_tell_two_names_apart(self) -> None:
        """A folder from Linux arrives whole on a disk that ignores case."""
        tree = SafeTree()
        self.assertEqual(tree.file("Makefile"), ("Makefile",))
        self.assertEqual(tree.file("makefile"), ("makefile (1)",))
        self.assertEqual(tree.file("Src/x.c"), ("Src", "x.c"))
        self.assertEqual(tree.file("src/x.c"), ("src (1)", "x.c"))
        self.assertEqual(tree.file("Src/y.c"), ("Src", "y.c"))

    def test_many_equal_names_take_no_time(self) -> None:
        """A list of one name ten thousand times costs no more than ten thousand names."""
        tree = SafeTree()
        places = {tree.file("same") for _ in range(10_000)}
        self.assertEqual(len(places), 10_000)
