/** What is said of a configuration that is wrong. */

import { ConfigError, parseConfig } from '../../gateway/config.ts'

export function messageOf(text: string): string {
  try {
    parseConfig(text, 'c.yaml')
    return 'no error'
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}
