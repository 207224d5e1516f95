/** The worker of a gateway, which keeps what Node made of its modules for the next one (NODE_COMPILE_CACHE). */

import { flushCompileCache } from 'node:module'
import '../../gateway/worker.ts'

flushCompileCache()
