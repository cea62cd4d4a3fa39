import { encodeSpec, type KeygenSpec, participantIndex, PROTOCOL_TIMINGS, Secret } from '@tkms/dkg'
import { expect, test } from 'vitest'
import { testCluster } from '../net/test-hosts.fixture.ts'
import { startEngineProcess } from './engine-process.ts'

const { config } = testCluster(4, [])
const spec: KeygenSpec = {
  kind: 'keygen',
  suite: 1,
  clusterId: config.clusterId,
  purpose: 'ecies-dec',
  keyName: 'ecies/1',
  generation: 1,
  epoch: 0,
  attempt: 0,
  newConfig: config,
  notAfter: 2_000_000_000,
}

test('a signal to the whole process group does not end the engine, stopping it does', async () => {
  const engine = startEngineProcess({
    identity: new Secret(new Uint8Array(32).fill(1)),
    spec,
    self: participantIndex(1),
    timings: PROTOCOL_TIMINGS,
  })
  const { pid } = engine
  if (pid === undefined) throw new Error('the process did not start')
  const opened = await engine.open(undefined)
  expect(opened.map(({ type }) => type)).toContain('ask-status')
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal)
  const message = { type: 'message', signed: encodeSpec(spec) } as const
  expect(await engine.step(message)).toBeInstanceOf(Array)
  await engine.stop()
  await expect(engine.step(message)).rejects.toMatchObject({ code: 'engine-crashed' })
})
