#!/usr/bin/env node
import { EXIT } from './cli/output.ts'
import { runCommandLine } from './cli/program.ts'

// A reader that went away, as `| head` does, ends the command without a stack trace.
process.stdout.on('error', () => process.exit(EXIT.failed))

process.exitCode = await runCommandLine(process.argv)
