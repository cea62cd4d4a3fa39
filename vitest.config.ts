import { defineConfig } from 'vitest/config'
import { ClosingLineReporter } from './scripts/vitest-reporter.ts'

const shared = { retry: 0, passWithNoTests: false, allowOnly: false, unstubEnvs: true }

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ['default', new ClosingLineReporter()],
    projects: [
      {
        test: { ...shared, name: 'unit', include: ['packages/*/src/**/*.test.ts'], testTimeout: 20_000 },
      },
      {
        test: {
          ...shared,
          name: 'cross',
          globalSetup: ['test/support/announce-vectors.ts'],
          include: ['test/**/*.test.ts'],
          exclude: ['test/docker/**', 'test/browser/**', 'test/long/**', '**/node_modules/**'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
