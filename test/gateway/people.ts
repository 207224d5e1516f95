/** Who calls the gateways of these tests, and as whom these run. */

import { stringify } from 'yaml'
import { hashPassword } from '../../acl/identity/password.ts'
import { Secret } from '../../acl/secret.ts'

export const domain = 'lab.example'

export const users = {
  alice: { uid: 64_811, gid: 64_811, groups: ['p01', 'photon'] },
  bob: { uid: 64_812, gid: 64_812, groups: ['photon'] },
  carol: { uid: 64_813, gid: 64_813, groups: ['p01'] },
  admin: { uid: 64_810, gid: 64_810, groups: [] },
} as const
export type UserName = keyof typeof users
export const userNames = Object.keys(users) as UserName[]

export const groups = { p01: { gid: 64_821 }, photon: { gid: 64_822 } } as const

/** The account that a gateway started as root serves as. */
export const service = { uid: 64_890, gid: 64_890 }
export const asRoot = process.getuid?.() === 0

/** Everybody's password, where a test asks for passwords. */
export const password = 'correct-horse-battery-staple'

export async function accountsFile(withPasswords: boolean): Promise<string> {
  const passwordHash = withPasswords ? await hashPassword(new Secret(password)) : undefined
  const entries = userNames.map((name) => [name, { ...users[name], ...(passwordHash && { passwordHash }) }])
  return stringify({ users: Object.fromEntries(entries), groups }, { aliasDuplicateObjects: false })
}

/** "alice@lab.example". */
export function named(name: string): string {
  return `${name}@${domain}`
}
