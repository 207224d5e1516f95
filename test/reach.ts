/** For tests that start this checkout's programs as another account without the help that the gateway gives itself. */

import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Why another account cannot start programs of this checkout; false where it can. For `skip`. */
export function outOfReach(): string | false {
  for (let at = resolve(import.meta.dirname, '..'); at !== '/'; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return `other accounts may not enter ${at}, where this checkout lies`
  }
  return false
}
