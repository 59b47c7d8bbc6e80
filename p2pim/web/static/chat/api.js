// @ts-check
/** Calls of the agent's local API (docs/api.md). */

const BASE = "/api/1/";

/** What the agent answered instead of a result. `code` as in docs/api.md; "agent-gone" when nobody answered at all. */
export class ApiError extends Error {
  /** @param {string} code @param {string} message @param {Record<string, any>} [more] */
  constructor(code, message, more = {}) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.more = more;
  }
}

/** @param {Record<string, any>} report @param {number} status */
function refused(report, status) {
  return new ApiError(report.error ?? `http-${status}`, report.message ?? `The agent answered ${status}.`, { status, ...report });
}

export class Api {
  /** @param {{onUnauthorized?: () => void, base?: string}} [options] */
  constructor({ onUnauthorized = () => {}, base = BASE } = {}) {
    this.base = base;
    this.onUnauthorized = onUnauthorized;
  }

  /**
   * Call `method`.
   *
   * @param {string} method
   * @param {Record<string, any>} [params]
   * @param {{onItem?: (item: any) => void, signal?: AbortSignal}} [options] `onItem` gets what the method yields before
   *   its result; aborting `signal` cancels the call at the agent, too
   * @returns {Promise<any>} the result
   * @throws {ApiError}
   */
  async call(method, params = {}, { onItem, signal } = {}) {
    const headers = { "Content-Type": "application/json", Accept: onItem ? "application/x-ndjson" : "application/json" };
    const answer = await this.fetch(method, { method: "POST", headers, body: JSON.stringify(params), signal });
    return onItem && answer.body && answer.ok ? readLines(answer, onItem) : this.#result(answer);
  }

  /** A request to the API by hand, for bodies that are no JSON. @param {string} path @param {RequestInit} init */
  async fetch(path, init) {
    let answer;
    try {
      answer = await fetch(this.base + path, { credentials: "same-origin", cache: "no-store", ...init });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError("agent-gone", "The agent does not answer.");
    }
    if (answer.status === 401) this.onUnauthorized();
    return answer;
  }

  /** @param {Response} answer */
  async #result(answer) {
    const value = await answer.json().catch(() => ({}));
    if (!answer.ok) throw refused(value, answer.status);
    return value;
  }
}

/** Lines of `{"item"}`, and `{"result"}` or `{"error"}` at the end. @param {Response} answer @param {(item: any) => void} onItem */
async function readLines(answer, onItem) {
  const reader = /** @type {ReadableStream} */ (answer.body).pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : /** @type {string} */ (lines.pop());
    for (const line of lines) {
      if (!line) continue;
      const report = JSON.parse(line);
      if ("item" in report) onItem(report.item);
      else if ("result" in report) return report.result;
      else throw refused(report, answer.status);
    }
    if (done) throw new ApiError("agent-gone", "The agent broke off in the middle of its answer.");
  }
}
