// From pairs to a candidate, from a candidate to the accepted transform; and the draft that outlives a reload.
import { ask } from "./register-fit.js";

const byId = (id) => document.getElementById(id);

export class Draft {
  constructor(config) { this.key = `${config.key}:${config.start?.id ?? "new"}`; }

  read() {
    try { return JSON.parse(localStorage.getItem(this.key)); } catch { return null; }
  }

  write(plain) {
    try { localStorage.setItem(this.key, JSON.stringify({ ...plain, at: new Date().toISOString() })); } catch { /* full, or forbidden: leaving warns all the same */ }
  }

  drop() {
    try { localStorage.removeItem(this.key); } catch { /* as above */ }
  }
}

export class Saving {
  // `saved`: the transform whose pairs are the present ones, or were before the last change.
  constructor(config, pairs, fit, draft) {
    const start = config.start;
    Object.assign(this, { config, pairs, fit, draft, saved: null, standing: config.standing, base: start && !start.superseded_by ? start.id : null });
    byId("save-form")?.addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
    byId("accept-form")?.addEventListener("submit", (event) => { event.preventDefault(); this.#accept(); });
  }

  started(start) { this.saved = { id: start.id, key: this.pairs.key, status: start.status }; }

  get unsaved() { return this.pairs.list.length > 0 && this.saved?.key !== this.pairs.key; }

  update() {
    if (!byId("save-form")) return;
    const fit = this.fit();
    const why = !this.pairs.list.length ? "There are no pairs yet."
      : !fit || fit.key !== this.pairs.key ? "Fit the pairs first: press f."
        : !this.unsaved ? "These pairs are saved." : "";
    byId("save").disabled = Boolean(why);
    byId("save-words").textContent = why || (this.base ? "Saving makes a new version. The former one stays readable." : "");
    const ready = this.saved && !this.unsaved && this.saved.status === "candidate";
    byId("accept-form").hidden = !ready;
    byId("replace-row").hidden = !this.standing;
    byId("standing").textContent = this.standing?.words ?? "";
    byId("accepted-words").hidden = !(this.saved && !this.unsaved && this.saved.status === "accepted");
  }

  async #save() {
    const { config, pairs } = this;
    const reason = byId("save-reason");
    this.#refused("save", "");
    if (!reason.value.trim()) { this.#refused("save", "Say why: which features, how sure."); reason.focus(); return; }
    byId("save").disabled = true;
    const key = pairs.key;
    try {
      const made = await ask(config.transforms, {
        source: config.panes.source.frame, target: config.panes.target.frame, kind: pairs.kind, method: "landmarks",
        landmarks: pairs.sent(), reason: reason.value.trim(), ...(this.base ? { supersedes: this.base } : {}),
      }, config.token);
      Object.assign(this, { saved: { id: made.id, key, status: made.status }, base: made.id });
      reason.value = "";
      this.#moved(made.id);
      byId("save-said").textContent = `Saved as a candidate, ${made.id}.`;
    } catch (error) {
      this.#refused("save", error.message);
    }
    this.update();
  }

  // The address names what is saved, so that a reload begins with it.
  #moved(id) {
    this.draft.drop();
    this.draft.key = `${this.config.key}:${id}`;
    const address = new URL(window.location.href);
    address.searchParams.set("transform", id);
    window.history.replaceState(null, "", address);
  }

  async #accept() {
    const replaces = this.standing && byId("replace").checked ? this.standing.id : null;
    this.#refused("accept", "");
    if (this.standing && !replaces) { this.#refused("accept", "Another transform is accepted. Tick that it is replaced."); byId("replace").focus(); return; }
    try {
      const { config } = this;
      const found = await ask(`${config.transforms}${this.saved.id}/accept/`, { reason: byId("accept-reason").value.trim(), ...(replaces ? { replaces } : {}) }, config.token);
      this.saved.status = found.status;
      this.standing = null;
    } catch (error) {
      this.#refused("accept", error.message);
      if (error.problem?.code === "other_accepted") this.#late(error);
    }
    this.update();
    if (this.saved.status === "accepted") byId("accepted-words").focus();
  }

  // Somebody was faster: what stands now is shown, and is replaced only by who has seen it.
  #late(error) {
    const id = error.problem.details?.accepted;
    byId("replace").checked = false;
    this.standing = id ? { id, words: `transform ${id}` } : null;
  }

  #refused(form, words) {
    const said = byId(`${form}-error`);
    said.textContent = words;
    said.hidden = !words;
  }
}
