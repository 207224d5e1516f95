/** Who may look after others, as the configuration file says it. */

import t from 'tap'
import { ConfigError, parseConfig } from '../../gateway/config.ts'

const messageOf = (entries: string) => {
  const lines = [
    'domain: example.org',
    `administrators: ${entries}`,
    'listen: [{ address: 127.0.0.1, port: 0 }]',
    'state: { directory: state }',
    'mounts: [{ path: /data, backend: { type: posix, root: /data, acl: [xattr] } }]',
  ]
  try {
    return parseConfig(lines.join('\n'), '/etc/c.yaml').administrators.join(' ')
  } catch (error) {
    return error instanceof ConfigError ? error.message : String(error)
  }
}

t.test('administrators are users and groups of the domain', (t) => {
  t.equal(messageOf('[admin@example.org, "group:ops-1@example.org"]'), 'admin@example.org group:ops-1@example.org')
  const cases: ReadonlyArray<readonly [string, RegExp]> = [
    ['[admin]', /c\.yaml:2:18: administrators\[0\]: expected a user such as admin@example\.org, or group:NAME/],
    ['[admin@other.org]', /c\.yaml:2:18: .*is not of `domain`: expected NAME@example\.org/],
    ['["group:ops@iam"]', /is not of `domain`: expected group:NAME@example\.org/],
    ['[x@example.org, "group:@example.org"]', /administrators\[1\]: is no name of a group/],
    ['["group:a b@example.org"]', /expected a user/],
    ['["group:group:ops@example.org"]', /is no name of a group/],
    ['[Admin@example.org]', /is no name of an account/],
    ['["*@example.org"]', /is no name of an account/],
    ['[a@b@example.org]', /expected a user/],
  ]
  for (const [entries, problem] of cases) t.match(messageOf(entries), problem, entries)
  t.end()
})
