import { createServer } from 'node:net'
import { once } from 'node:events'
import { participantIndex, Secret } from '@tkms/dkg'
import { expect, test } from 'vitest'
import { createHost, startHost } from './host.ts'
import { createRoster } from './roster.ts'
import { TEST_LIMITS, testCluster } from './test-hosts.fixture.ts'

test('an address that is in use is named, with the reason of the system', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  const listen = [`/ip4/127.0.0.1/tcp/${address.port}`]
  const roster = createRoster(testCluster(3, []).nodes, participantIndex(1))
  const identity = new Secret(new Uint8Array(32).fill(1))
  const host = await createHost({ identity, roster, listen, announce: [], limits: TEST_LIMITS })
  await expect(startHost(host, listen)).rejects.toMatchObject({
    code: 'libp2p-listen',
    message: expect.stringMatching(`${listen[0]}, .*EADDRINUSE`) as unknown,
  })
  await host.stop()
  server.close()
})
