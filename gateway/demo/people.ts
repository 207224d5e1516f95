/** The people of the demo: three users, an administrator, their groups and passwords. */

import { randomBytes } from 'node:crypto'
import { stringify } from 'yaml'
import { hashPassword } from '../../acl/identity/password.ts'
import { Secret } from '../../acl/secret.ts'

export const domain = 'portolan.demo'

/** The account the gateway serves as when it was started as root. */
export const service = { uid: 64_990, gid: 64_990 }

export const groups = { photon: 64_900, p01: 64_901 } as const

export const users = {
  alice: { uid: 64_801, gid: 64_801, groups: ['photon', 'p01'] },
  bob: { uid: 64_802, gid: 64_802, groups: ['photon'] },
  carol: { uid: 64_803, gid: 64_803, groups: ['photon', 'p01'] },
  admin: { uid: 64_800, gid: 64_800, groups: [] },
} as const

export type UserName = keyof typeof users
export const userNames = Object.keys(users) as UserName[]

/** A password a person can type. */
export function newPassword(name: UserName): Secret {
  return new Secret(`${name}-${randomBytes(9).toString('base64url')}`)
}

/** The accounts file, as `accounts: [{ file: ... }]` reads it. */
export async function accountsFile(passwords: ReadonlyMap<UserName, Secret>): Promise<string> {
  const entries = await Promise.all(
    userNames.map(async (name) => {
      const password = passwords.get(name)
      return [name, { ...users[name], ...(password && { passwordHash: await hashPassword(password) }) }] as const
    }),
  )
  return stringify({
    users: Object.fromEntries(entries),
    groups: Object.fromEntries(Object.entries(groups).map(([name, gid]) => [name, { gid }])),
  })
}
