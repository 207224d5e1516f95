/** Parameters that several routes take. */

import { type Action, actions } from '../../acl/needs.ts'
import { StorageError } from '../core/errors.ts'
import { type Path, parsePath } from '../core/path.ts'

/** The parameter `path`: decoded already, and required. Throws `invalid` or `name-too-long`. */
export function pathOf(text: string | undefined): Path {
  if (text === undefined) throw new StorageError('invalid', 'the parameter path is missing')
  return parsePath(text)
}

/** The parameter `action`; without it `read`. Throws `invalid` for a word that is no action. */
export function actionOf(text: string | undefined): Action {
  if (text === undefined) return 'read'
  const action = actions.find((each) => each === text)
  if (!action) throw new StorageError('invalid', 'the parameter action names no action')
  return action
}

/** A parameter that is true or false; false if absent. Throws `invalid` for any other word. */
export function flagOf(text: string | undefined, name: string): boolean {
  if (text === undefined || text === 'false') return false
  if (text === 'true') return true
  throw new StorageError('invalid', `${name} is true or false`)
}
