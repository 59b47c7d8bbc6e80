// @ts-check
/** What the operator can do: asked for in dialogs, confirmed, and the outcome told. */

import { h, name } from "../common/dom.js";
import { toast } from "../chat/dialog.js";

/** @typedef {import("./store.js").Row} Row */

export class Actions {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
  }

  /** @param {string} action @param {any} params */
  async call(action, params) {
    const answer = await fetch(`/api/1/${action}`, {
      method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" }, body: JSON.stringify(params),
    });
    if (answer.status === 401) location.assign("/");
    const result = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(result.message ?? this.app.t("operator.failed"));
    return result;
  }

  /** @param {string} action @param {any} params @param {(result: any) => string} words */
  async tell(action, params, words) {
    try {
      toast(words(await this.call(action, params)), "good");
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "bad");
    }
  }

  /** Everything about one device, and what can be done. @param {Row} row */
  person(row) {
    const { t, f, dialog } = this.app;
    const time = (/** @type {number | null} */ at) => (at === null ? "–" : h("time", { datetime: f.iso(at) }, f.moment(at)));
    const facts = [
      ["operator.column_deviceName", row.deviceName ? name(row.deviceName) : "–"],
      ["operator.device_id", h("code", null, row.device)],
      ["operator.status", t(`operator.status_${row.status}`)],
      ["operator.column_address", h("code", null, row.address)],
      ["operator.column_since", time(row.since)],
      ["operator.column_uploads", f.count(row.uploads)],
      ["operator.column_lastUp", time(row.lastUp)],
      ["operator.column_downloads", f.count(row.downloads)],
      ["operator.column_lastDown", time(row.lastDown)],
    ];
    dialog.open({
      title: name(row.user),
      testid: "person",
      content: [h("dl", { class: "facts" }, facts.map(([key, value]) => [h("dt", null, t(key)), h("dd", null, value)])), h("p", { class: "hint" }, t("operator.counts_hint"))],
      actions: [
        { label: t("common.close") },
        { label: t("operator.kick"), testid: "kick", run: () => { this.kick(row.user); } },
        { label: t("operator.disable"), kind: "danger", testid: "disable", run: () => { this.disable(row.user); } },
      ],
    });
  }

  /** @param {string} user */
  async kick(user) {
    const { t, dialog } = this.app;
    const sure = await dialog.confirm({ title: t("operator.kick_title", { user }), text: t("operator.kick_text"), yes: t("operator.kick"), danger: true });
    if (sure) await this.tell("kick", { user }, (result) => t.n("operator.kicked", result.sessions, { user }));
  }

  /** @param {string} user */
  async disable(user) {
    const { t, dialog } = this.app;
    const sure = await dialog.confirm({ title: t("operator.disable_title", { user }), text: t("operator.disable_text"), yes: t("operator.disable"), danger: true });
    if (sure) await this.tell("disable", { user }, () => t("operator.was_disabled", { user }));
  }

  /** @param {string} user */
  async enable(user) {
    await this.tell("enable", { user }, () => this.app.t("operator.was_enabled", { user }));
  }

  /** Switch off somebody who is not signed in. */
  disableOther() {
    const { t, dialog } = this.app;
    const field = h("input", { id: "disable-name", autocomplete: "off", autofocus: true, maxlength: 128, dataset: { testid: "disable-name" } });
    dialog.open({
      title: t("operator.disable_other"),
      testid: "disable-other-dialog",
      content: h("div", { class: "field" }, h("label", { for: "disable-name" }, t("operator.column_user")), field),
      actions: [
        { label: t("common.cancel") },
        { label: t("operator.disable"), kind: "danger", testid: "disable-other-yes", run: () => { if (!field.value.trim()) return false; this.disable(field.value.trim()); } },
      ],
    });
  }

  /** Make an invitation, and show it. */
  invite() {
    const { t, dialog } = this.app;
    const days = h("input", { id: "invite-days", type: "number", min: 1, max: 3650, value: "7", dataset: { testid: "invite-days" } });
    dialog.open({
      title: t("operator.invite"),
      testid: "invite-dialog",
      content: [h("p", { class: "hint" }, t("operator.invite_text")), h("div", { class: "field" }, h("label", { for: "invite-days" }, t("operator.invite_days")), days)],
      actions: [
        { label: t("common.cancel") },
        { label: t("operator.invite_make"), kind: "primary", testid: "invite-make", run: () => { this.invited(Number(days.value)); } },
      ],
    });
  }

  /** @param {number} days */
  async invited(days) {
    const { t, f, dialog } = this.app;
    try {
      const made = await this.call("invite", { days });
      const code = h("code", { class: "invitation", dataset: { testid: "invitation" }, tabindex: 0 }, made.invite);
      dialog.open({
        title: t("operator.invitation"),
        testid: "invited",
        content: [h("p", null, code), h("p", { class: "hint" }, t("operator.invite_until", { when: f.moment(made.expires_at) }))],
        actions: [
          { label: t("operator.copy"), testid: "copy", run: () => this.copy(made.invite) },
          { label: t("common.close"), kind: "primary" },
        ],
      });
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "bad");
    }
  }

  /** @param {string} text */
  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      toast(this.app.t("operator.copied"), "good");
    } catch {
      toast(this.app.t("operator.not_copied"), "bad");
    }
    return false;
  }
}
