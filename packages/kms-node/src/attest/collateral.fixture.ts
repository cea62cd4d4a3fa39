import type { Collateral, CollateralSource } from './collateral.ts'

/** Gives the same collateral for every platform. */
export const fixedCollateral = (collateral: Collateral): CollateralSource => ({
  get: async () => collateral,
})
