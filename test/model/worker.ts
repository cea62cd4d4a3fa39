import { parentPort } from 'node:worker_threads'
import { type Batch, runBatch } from './batch.ts'

/** One core of the model test: batches in, tallies out. */
const port = parentPort
if (port === null) throw new Error('this file runs as a worker only')
port.on('message', (batch: Batch) => port.postMessage(runBatch(batch)))
