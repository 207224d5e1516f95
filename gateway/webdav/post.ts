/** POST on the namespace: asks for macaroons, and takes the forms of the pages for people. */

import { HttpError } from '../http/errors.ts'
import type { Method } from '../http/options.ts'
import { isForm, takeForm } from './browser/forms.ts'
import { isUpload, takeUpload } from './browser/upload.ts'
import { isMacaroonRequest, sendMacaroon } from './macaroon-request.ts'

export const post: Method = {
  async run(x) {
    if (isMacaroonRequest(x)) return sendMacaroon(x)
    if (isUpload(x)) return takeUpload(x)
    if (isForm(x)) return takeForm(x)
    throw new HttpError(415, 'unsupported', 'POST takes forms and application/macaroon-request here')
  },
}
