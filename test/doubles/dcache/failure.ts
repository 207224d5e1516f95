/** Why the stand-in refuses something, before a door has made a status of it. */

export type FailureCode =
  | 'bad-request'
  | 'denied'
  | 'forbidden'
  | 'missing'
  | 'exists'
  | 'conflict'
  | 'not-empty'
  | 'no-space'
  | 'precondition'
  | 'unsupported'
  | 'too-many'
  | 'off'
  | 'internal'

export class Failure extends Error {
  readonly code: FailureCode

  constructor(code: FailureCode, message: string) {
    super(message)
    this.code = code
  }
}
