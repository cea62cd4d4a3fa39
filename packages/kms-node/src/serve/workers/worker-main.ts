import { parentPort } from 'node:worker_threads'
import { selectCurve } from '@tkms/curve-native'
import { isKmsError } from '../../errors.ts'
import { doWork } from './item-work.ts'
import type { WorkerCall, WorkerReply } from './worker-messages.ts'

/** A thread that computes for the serving path: one piece of work after the other, and keeps nothing. */
const { curve } = selectCurve()

function answer({ id, work }: WorkerCall): WorkerReply {
  try {
    return { id, done: doWork(curve, work) }
  } catch (cause) {
    // Anything else than one of our errors is a defect of this thread, and ends it.
    if (isKmsError(cause)) return { id, code: cause.code, message: cause.message }
    throw cause
  }
}

const port = parentPort
if (port === null) throw new Error('this is the entry of a worker thread')
port.on('message', (call: WorkerCall) => {
  const reply = answer(call)
  port.postMessage(reply, 'done' in reply ? [reply.done.buffer] : [])
})
port.postMessage({ ready: curve.backend })
