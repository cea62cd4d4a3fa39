import { parseArgs } from 'node:util'
import { reshareUnderLoad } from './under-load.ts'

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })
const {
  failures,
  removed_node_refused: refused,
  old_share_useless: useless,
  ...report
} = await reshareUnderLoad((line) => process.stderr.write(`${line}\n`))
for (const failure of failures) process.stderr.write(`failed: ${failure}\n`)
if (!refused) process.stderr.write('failed: the removed node still serves the key\n')
if (!useless) process.stderr.write('failed: an old share completes new ones\n')
const ok = report.failed === 0 && report.key_unchanged && report.old_ciphertexts_open && refused && useless
if (values.json) console.log(JSON.stringify(report))
else console.log(`${report.requests} requests, ${report.failed} failed, through ${report.epochs} epochs`)
process.exitCode = ok ? 0 : 1
