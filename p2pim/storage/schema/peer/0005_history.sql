-- Full-text search, and what is left of messages that were taken out of the history.

-- Three characters at a time, so that parts of words are found, and text that has no spaces between its words.
-- It holds no text of its own: that is in `messages`.
CREATE VIRTUAL TABLE messages_text USING fts5(
    text, content = 'messages', content_rowid = 'number', tokenize = 'trigram', columnsize = 0
);

CREATE TRIGGER messages_text_new AFTER INSERT ON messages BEGIN
    INSERT INTO messages_text (rowid, text) VALUES (new.number, new.text);
END;

CREATE TRIGGER messages_text_gone AFTER DELETE ON messages BEGIN
    INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', old.number, old.text);
END;

CREATE TRIGGER messages_text_changed AFTER UPDATE OF number, text ON messages BEGIN
    INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', old.number, old.text);
    INSERT INTO messages_text (rowid, text) VALUES (new.number, new.text);
END;

INSERT INTO messages_text (messages_text) VALUES ('rebuild');

-- The tokenizer stops at a NUL. Nobody types one, but what stands behind it is to be found all the same.
CREATE INDEX messages_with_nul ON messages (number) WHERE instr(text, char(0)) > 0;

-- Ids of messages that were deleted here: a copy that comes late is still a copy.
CREATE TABLE forgotten (
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (user, device, id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER messages_forgotten BEFORE INSERT ON messages
WHEN EXISTS (SELECT 1 FROM forgotten WHERE user = new.user AND device = new.device AND id = new.id) BEGIN
    SELECT RAISE(IGNORE);
END;
