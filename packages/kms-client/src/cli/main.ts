#!/usr/bin/env node
import { EXIT_CODES } from './exit-codes.ts'
import { runCli } from './program.ts'

// A reader that went away, as `| head` does, ends the command without a stack trace.
process.stdout.on('error', () => process.exit(EXIT_CODES.failure))

const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort())
process.once('SIGTERM', () => interrupted.abort())

// Nothing here is waited for: a part of the bundle that is loaded later may import this file, and would wait for it to end.
void runCli(process.argv.slice(2), {
  stdin: process.stdin,
  stdoutIsTty: process.stdout.isTTY,
  stderrIsTty: process.stderr.isTTY,
  writeOut: (data) =>
    new Promise((resolve, reject) => {
      process.stdout.write(data, (error) => (error === null || error === undefined ? resolve() : reject(error)))
    }),
  writeErr: (text) => void process.stderr.write(text),
  signal: interrupted.signal,
}).then((code) => {
  process.exitCode = code
})
