import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { benchCluster } from './cluster.ts'
import { benchPartial } from './partial.ts'

const HELP = `npm run --silent bench [-- --json] [-- --quick]

Measures one node's answer against the bare operations it needs, key generation and decryption with five processes.
  --json   the last line of stdout is one JSON object
  --quick  fewer rounds`

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const log = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

if (values.help) console.log(HELP)
else {
  log(`${cpus().length} x ${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.versions.node}`)
  log('one answer in process, on libsecp256k1, on noble, and its bare operations ...')
  const partial = await benchPartial({ rounds: values.quick ? 3 : 9 })
  log('five node processes ...')
  const cluster = await benchCluster({ ceremonies: values.quick ? 1 : 5, requests: values.quick ? 50 : 300, log })
  const rounded = Object.fromEntries(
    Object.entries(partial).map(([name, us]) => [name, us === undefined ? null : Math.round(us * 10) / 10]),
  )
  const result = { dkg: cluster.dkg, partial: rounded, e2e: cluster.e2e }
  if (values.json) console.log(JSON.stringify(result))
  else {
    const { native_us: native, noble_us: noble, floor_us: floor } = partial
    const ratio = (us: number | undefined): string =>
      us === undefined ? 'not here' : `${us.toFixed(0)} us, ${(us / floor).toFixed(2)} x floor`
    console.log(`node answer, libsecp256k1  ${ratio(native)}`)
    console.log(`node answer, noble         ${ratio(noble)}`)
    console.log(`its bare operations        ${floor.toFixed(0)} us`)
    console.log(`key generation n=5 t=3     ${cluster.dkg.n5t3_ms} ms with five processes`)
    console.log(
      `decryption 3 of 5          p50 ${cluster.e2e.p50_ms} ms, p99 ${cluster.e2e.p99_ms} ms, ${cluster.e2e.per_s}/s`,
    )
  }
}
