// The REST API by fetch with the session: problem+json becomes an Error with fields, never a parsed surprise.

/** What the server answered when it refused: `status`, `code`, `detail`, and the problem's own fields in `problem`. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.code = problem.code || "";
    this.problem = problem;
  }

  /** The session has ended (or its token is another one's); `forbidden` is a right that was taken away instead. */
  get signedOut() {
    return this.status === 401 || (this.status === 403 && this.code !== "forbidden");
  }

  /** Why one is signed out: `usual`, or who has signed in instead. */
  away(usual) {
    return this.code === "other-person" ? this.message : usual;
  }

  /** Worth trying again unchanged: no answer at all, overload, or a server on its way up. */
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

// Whose page it is: in another tab somebody else may have signed in since, and is refused what this one wrote.
const person = document.getElementById("work")?.dataset.user;

function csrfToken() {
  const cookie = document.cookie.split("; ").find((item) => item.startsWith("csrftoken="));
  return cookie ? decodeURIComponent(cookie.slice("csrftoken=".length)) : "";
}

/**
 * Call the API. Resolves to `{status, data, etag}`; rejects with ApiError (status 0 when nothing answered).
 * A redirect is the sign-in page: it is reported as 401, not followed. `within` seconds without a whole answer are none.
 */
export async function api(method, url, { body, headers = {}, keepalive = false, within = 0 } = {}) {
  const request = {
    method,
    keepalive,
    credentials: "same-origin",
    redirect: "manual",
    signal: within ? AbortSignal.timeout(within * 1000) : undefined,
    headers: { Accept: "application/json", "X-CSRFToken": csrfToken(), ...(person && { "X-For-User": person }), ...headers },
  };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(url, request);
  } catch (error) {
    throw new ApiError(0, { detail: String(error.message || error), code: "offline" });
  }
  if (response.type === "opaqueredirect") throw new ApiError(401, { code: "signed-out" });
  let text;
  try {
    text = await response.text();
  } catch (error) {
    throw new ApiError(0, { detail: String(error.message || error), code: "offline" }); // cut off in its middle
  }
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    if (response.ok) throw new ApiError(502, { code: "not-json" });
  }
  if (!response.ok) throw new ApiError(response.status, data && typeof data === "object" ? data : {});
  return { status: response.status, data, etag: response.headers.get("ETag") };
}

/** A key that names one intention; randomUUID exists in secure contexts only. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** Call `action`; while the failure is a passing one, wait longer and longer and call it again. */
export async function untilAnswered(action, onWait = () => {}, longest = 30) {
  for (let wait = 1; ; wait = Math.min(wait * 2, longest)) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ApiError) || !error.passing) throw error;
      onWait(error, wait);
      await new Promise((resolve) => {
        const timer = setTimeout(done, wait * 1000);
        function done() {
          clearTimeout(timer);
          window.removeEventListener("online", done);
          resolve();
        }
        window.addEventListener("online", done);
      });
    }
  }
}
