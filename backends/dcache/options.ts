/** Settings of a dCache back end. */

import type { Path } from '../../gateway/core/path.ts'
import type { DelegationOptions } from './credentials.ts'
import type { RedirectOptions } from './redirects.ts'

export interface DcacheOptions {
  /** For logs and metrics; default `dcache:` and the door's host and root. */
  readonly name?: string
  /** The WebDAV door: https, or http on loopback. */
  readonly webdav: URL
  /** The REST frontend, ending in `/api/v1`; without it PROPFIND does everything. */
  readonly frontend?: URL
  /** Path in dCache that is this back end's "/". */
  readonly root: Path
  /** PEM trusted besides nothing else; the system's if absent. */
  readonly ca?: string | undefined
  /** Hosts that redirects may lead to: `pool1.desy.de` or `*.desy.de`, with `:port` or any port; and the door's own origin. */
  readonly pools: readonly string[]
  /** Bytes may travel between pool and gateway by plain http. */
  readonly insecurePools?: boolean
  /** At most so many connections per door, and as many again for bytes from it and from each pool; default 64. */
  readonly connections?: number
  /** Description of the space reservation that the mount writes to: its bytes are the mount's. */
  readonly spaceToken?: string
  /** Milliseconds for a request without a body of size; default 20,000. */
  readonly deadline?: number
  /** Milliseconds without a byte in a transfer; default 60,000. */
  readonly stall?: number
  readonly delegation: DelegationOptions
  /** Present: callers that can be sent elsewhere are sent to the door. */
  readonly redirects?: RedirectOptions
  /** Listen to dCache's events to drop what is remembered. */
  readonly events?: boolean
  readonly log?: (message: string, cause?: unknown) => void
}
