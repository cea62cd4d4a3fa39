import { readFile } from 'node:fs/promises'
import { type AttackName, type AttackPlan, ATTACKS } from './attacks.ts'

/** One attacker: `node attacker.ts NAME PLAN-FILE`. Says every second how often it got through to a node; runs until it is killed. */

const [, , name = '', file = ''] = process.argv
const plan = JSON.parse(await readFile(file, 'utf8')) as AttackPlan
let acts = 0
setInterval(() => process.stdout.write(`${acts}\n`), 1_000)
process.on('disconnect', () => process.exit(0))
// A node that cuts an attacker off surfaces in many places of its libraries: that must not end the attack.
process.on('uncaughtException', () => undefined)
process.on('unhandledRejection', () => undefined)
await ATTACKS[name as AttackName](plan, () => acts++)
