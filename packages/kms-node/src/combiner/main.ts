#!/usr/bin/env node
import { runCombiner } from './program.ts'

// A reader that went away, as `| head` does, ends the command without a stack trace.
process.stdout.on('error', () => process.exit(1))

process.exitCode = await runCombiner(process.argv)
