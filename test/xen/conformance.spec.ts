import { jest } from '@jest/globals';
import { exerciseDriver } from '../../src/hypervisor-driver/conformance/exercise-driver.js';
import { describeUnless } from '../support/skippable.js';
import { aXenHost } from './xen-host.js';
import { openXenLab, type XenLab, xenObstacle } from './xen-lab.js';

const obstacle = await xenObstacle();
// A domain takes seconds to make here, and a test makes up to three.
jest.setTimeout(180_000);

describeUnless(obstacle, 'on a real Xen', () => {
  let lab: XenLab;
  beforeAll(async () => {
    lab = await openXenLab();
  }, 600_000);
  afterAll(() => lab?.close(), 60_000);

  exerciseDriver('xen', () => aXenHost(lab.dom0), {
    bootMs: 180_000,
    obeyMs: 60_000,
    noticeMs: 2_000,
    resets: false,
    controlDomain: true,
  });
});
