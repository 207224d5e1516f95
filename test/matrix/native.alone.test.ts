/** The matrix in the `native` grade, which needs root to start from. */

import t from 'tap'
import { noNative } from '../gateway/harness.ts'

if (noNative) t.plan(0, noNative)
else await import('./native-questions.ts')
