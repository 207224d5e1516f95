/** The methods on the namespace. A new one is a file beside this and a line in the table. */

import type { DataDoor } from '../http/options.ts'
import { copy } from './copy.ts'
import { remove } from './delete.ts'
import { statusOf } from './errors.ts'
import { get } from './get.ts'
import { conditional } from './if-header.ts'
import { lock } from './lock.ts'
import { mkcol } from './mkcol.ts'
import { move } from './move.ts'
import { options } from './options.ts'
import { post } from './post.ts'
import { davProblem } from './problem.ts'
import { propfind } from './propfind.ts'
import { proppatch } from './proppatch.ts'
import { put } from './put.ts'
import { unlock } from './unlock.ts'

/** What the HTTP door serves outside /.portolan/. */
export const webdav: DataDoor = {
  methods: {
    OPTIONS: options(() => Object.keys(webdav.methods)),
    GET: get,
    HEAD: get,
    PUT: conditional(put),
    POST: post,
    DELETE: conditional(remove),
    PROPFIND: propfind,
    PROPPATCH: conditional(proppatch),
    MKCOL: conditional(mkcol),
    COPY: conditional(copy),
    MOVE: conditional(move),
    LOCK: lock,
    UNLOCK: unlock,
  },
  statusOf,
  problem: davProblem,
}
