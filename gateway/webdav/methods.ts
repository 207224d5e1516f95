/** The methods on the namespace. A new one is a file beside this and a line in the table. */

import type { DataDoor } from '../http/options.ts'
import { remove } from './delete.ts'
import { statusOf } from './errors.ts'
import { get } from './get.ts'
import { options } from './options.ts'
import { put } from './put.ts'

/** What the HTTP door serves outside /.portolan/. */
export const webdav: DataDoor = {
  methods: {
    OPTIONS: options(() => Object.keys(webdav.methods)),
    GET: get,
    HEAD: get,
    PUT: put,
    DELETE: remove,
  },
  statusOf,
}
