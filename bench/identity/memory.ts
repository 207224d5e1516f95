/** What remains in memory of crowds that came and went. */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Secret } from '../../acl/secret.ts'
import type { Figure } from '../report.ts'
import { type Setting, startIdentity, userName } from './setting.ts'

const usersAnHour = 10_000
const hours = 3
/** Each user's token is renewed so often, as clients do. */
const tokensAnHour = 2
const requestsOfToken = 5

/** Hours of traffic, each of other users, on a clock that runs faster; heap after each hour. */
export async function crowds(): Promise<readonly Figure[]> {
  const setting = await startIdentity(usersAnHour * hours)
  try {
    const heaps: number[] = []
    const before = heapNow()
    for (let hour = 0; hour < hours; hour++) {
      await anHour(setting, hour * usersAnHour)
      heaps.push(heapNow() - before)
    }
    const [first = 0, , third = 0] = heaps
    const raw = Object.fromEntries(heaps.map((heap, at) => [`after ${at + 1} h, MiB`, heap]))
    return [
      { what: 'memory: growth from the first 10,000 users to the third', value: third - first, unit: 'MiB', raw, goal },
    ]
  } finally {
    await setting.close()
  }
}
const goal = { atMost: 8 }

async function anHour({ service, clock, token }: Setting, firstUser: number): Promise<void> {
  const start = clock.now
  for (let round = 0; round < tokensAnHour; round++) {
    for (let user = 0; user < usersAnHour; user++) {
      clock.now = start + ((round * usersAnHour + user) / (tokensAnHour * usersAnHour)) * 3_600_000
      const secret = new Secret(await token(userName(firstUser + user)))
      for (let request = 0; request < requestsOfToken; request++) {
        await service.authenticate({ kind: 'bearer', token: secret })
      }
    }
  }
}

/** MiB of the heap that are in use. */
function heapNow(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}
