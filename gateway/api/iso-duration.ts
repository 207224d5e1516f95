/** Durations of ISO 8601, for the routes. */

export { parseDuration } from '../http/iso-duration.ts'
