import { type LabPool, openLabPool } from '../lab/lab-pool.js';
import { prepareLab } from '../lab/obstacle.js';
import { eventually } from '../support/eventually.js';
import { describeUnless } from '../support/skippable.js';

const obstacle = await prepareLab();

/** The same disk without Xen, and with the init that a Debian host has. */
describeUnless(obstacle, 'a plain host of the lab, under systemd', () => {
  let pool: LabPool;
  const host = () => pool.lab.host('plain-1');

  beforeAll(async () => {
    pool = await openLabPool({ plain: 1, systemd: true });
  }, 400_000);
  afterAll(() => pool?.close(), 60_000);

  const inLab = (what: string, act: () => Promise<void>) =>
    it(what, () => pool.lab.watched(what, act), 180_000);

  inLab('runs the agent by the unit that ships, and enrols with QEMU and no KVM', async () => {
    expect(await pool.online('plain-1')).toMatchObject({
      address: host().agentAddress,
      hypervisor: { kind: 'qemu', accelerator: 'tcg' },
    });
    const unit = ['systemctl', 'show', '--property=ActiveState,FragmentPath', 'domus-agent'];
    expect((await host().run(unit)).trim().split('\n').sort()).toEqual([
      'ActiveState=active',
      'FragmentPath=/etc/systemd/system/domus-agent.service',
    ]);
    expect((await host().try(['test', '-e', '/sys/hypervisor/type'])).code).not.toBe(0);
  });

  inLab('starts the agent again when it was killed', async () => {
    const pid = () => host().run(['systemctl', 'show', '--property=MainPID', '--value', 'domus-agent']);
    const before = await pid();
    await host().killAgent();
    const after = await eventually(
      async () => {
        const now = await pid();
        return now !== before && now.trim() !== '0' && now;
      },
      { within: 60_000, what: 'that systemd starts the agent again' },
    );
    expect(after).toMatch(/^\d+$/m);
  });
});
