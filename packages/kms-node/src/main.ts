#!/usr/bin/env node
import { EXIT } from './cli/output.ts'
import { runCommandLine } from './cli/program.ts'

// A reader that went away, as `| head` does, ends the command without a stack trace.
process.stdout.on('error', () => process.exit(EXIT.failed))

// Nothing here is waited for: a part of the bundle that is loaded later may import this file, and would wait for it to end.
void runCommandLine(process.argv).then((code) => {
  process.exitCode = code
})
