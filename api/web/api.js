// JSON of the API, and its errors (RFC 9457) as exceptions.

import { sentence } from "./format.js";

/** `status` 0: no answer at all. `retryAfter`: in seconds, or null. */
export class Problem extends Error {
  constructor(status, detail, retryAfter = null) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const NO_ANSWER = "The service does not answer.";

/** The reason of a Problem as a sentence, without "try again": the page does that by itself. */
export function reasonOf({ status, message }) {
  if (status === 503 && /broker|kafka/i.test(message)) return "The service has lost its message broker.";
  return sentence(message.replace(/[;:,.]?\s*try again[^.]*\.?$/i, ""));
}

function secondsIn(header) {
  const seconds = Number.parseInt(header ?? "", 10);
  return Number.isFinite(seconds) ? seconds : null;
}

export async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  const detail = body.detail ?? body.reason ?? response.statusText;
  return new Problem(response.status, detail, secondsIn(response.headers.get("Retry-After")));
}

/** A fetch whose failures to connect are Problems too; aborts stay aborts. */
export async function request(path, options = {}) {
  try {
    return await fetch(path, { ...options, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, NO_ANSWER);
  }
}

export async function getJson(path, options = {}) {
  const response = await request(path, options);
  if (!response.ok) throw await problemOf(response);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, NO_ANSWER); // cut off in the middle
  }
}
