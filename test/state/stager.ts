/** A second process for the tests of the staging queue's memory: asks for the same request as the others do. */

import { openState } from '../../gateway/state/open.ts'
import { request } from './requests.ts'

const [directory = '', claim = ''] = process.argv.slice(2)
const state = await openState({ directory })
const { staging, added } = await state.stagings.add(request({ claim, files: 2000 }), { requests: 10, files: 10_000 })
const asked = await state.stagings.ask(staging.id, request({ claim }).orders[0].mount)
await state.close()
process.send?.({ id: staging.id, added, first: asked === undefined }, () => process.disconnect?.())
