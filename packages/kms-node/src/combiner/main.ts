#!/usr/bin/env node
import { runCombiner } from './program.ts'

// A reader that went away, as `| head` does, ends the command without a stack trace.
process.stdout.on('error', () => process.exit(1))

// Nothing here is waited for: a part of the bundle that is loaded later may import this file, and would wait for it to end.
void runCombiner(process.argv).then((code) => {
  process.exitCode = code
})
