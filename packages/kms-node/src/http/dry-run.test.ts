import { formatAuthorization } from '@tkms/dkg'
import { expect, it, onTestFinished } from 'vitest'
import { authorize, createTestPipeline, requestOf } from '../serve/pipeline.fixture.ts'
import { serverOptions } from './server.fixture.ts'
import { createHttpServer } from './server.ts'

it('explains a request instead of answering it where it is asked to, and takes no other word for it', async () => {
  const { pipeline, dryRun, lender } = createTestPipeline()
  const server = createHttpServer(serverOptions({ pipeline, dryRun }))
  await server.start()
  onTestFinished(() => server.stop())
  const send = (query: string, body: string): Promise<Response> => {
    const headers = { 'content-type': 'application/json' }
    return fetch(`${server.url}/v1/delegate${query}`, { method: 'POST', body, headers })
  }
  const body = JSON.stringify(formatAuthorization(authorize(requestOf())))
  for (let n = 0; n < 2; n++) {
    const response = await send('?dryRun=true', body)
    expect(response.status).toBe(200)
    const told = [
      { rule: 'owner', says: 'yes' },
      { rule: 'grant', says: 'no', reason: 'no-grant' },
    ]
    const items = [{ allowed: true, rules: { says: 'yes', any: told } }]
    expect(await response.json()).toMatchObject({ keyName: 'ecies/1', allowed: true, items })
  }
  expect(await (await send('?dryRun=1', body)).json()).toMatchObject({
    error: { code: 'malformed', message: expect.stringContaining('query') as unknown },
  })
  for (const query of ['?dryRun=1', '?dryRun', '?dryRun=TRUE', '?dryRun=true&dryRun=false'])
    expect(await (await send(query, body)).json()).toMatchObject({ error: { code: 'malformed' } })
  const late = JSON.stringify(formatAuthorization(authorize(requestOf({ notBefore: 1, expiresAt: 2 }))))
  expect(await (await send('?dryRun=true', late)).json()).toMatchObject({ error: { code: 'clock-skew' } })
  expect(lender.uses).toBe(0)
  expect((await send('?dryRun=false', body)).status).toBe(200)
  expect(lender.uses).toBe(1)
})
