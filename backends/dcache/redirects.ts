/** URLs of the dCache door from which a caller may fetch a file itself. */

export interface RedirectOptions {
  /** Seconds that such a URL is good for; default 600. */
  readonly validity?: number
}
