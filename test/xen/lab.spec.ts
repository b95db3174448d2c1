import { identify } from '../../src/launcher/process/process-table.js';
import { type LabPool, openLabPool } from '../lab/lab-pool.js';
import { prepareLab } from '../lab/obstacle.js';
import { describeUnless } from '../support/skippable.js';

const obstacle = await prepareLab();

/** The lab itself: what every other spec of this suite stands on. */
describeUnless(obstacle, 'a Xen host of the lab', () => {
  let pool: LabPool;
  const host = () => pool.lab.host('xen-1');

  beforeAll(async () => {
    pool = await openLabPool({ xen: 1 });
  }, 400_000);
  afterAll(() => pool?.close(), 60_000);

  const inLab = (what: string, act: () => Promise<void>) =>
    it(what, () => pool.lab.watched(what, act), 180_000);

  inLab('runs paravirtualised guests and hardware ones', async () => {
    const info = await host().run(['xl', 'info']);
    const caps = /^virt_caps *: (.*)$/m.exec(info)?.[1]?.split(' ');
    expect(caps).toEqual(expect.arrayContaining(['pv', 'hvm', 'hap']));
  });

  inLab('shows dom0 as the only domain, with a volume group beside it', async () => {
    expect(JSON.parse(await host().run(['xl', 'list', '-l']))).toMatchObject([{ domid: 0 }]);
    expect((await host().run(['vgs', '--noheadings', '-o', 'vg_name'])).trim()).toBe('vg0');
  });

  inLab('is enrolled by its own agent, and is reached where the agent said', async () => {
    expect(await pool.online('xen-1')).toMatchObject({
      address: host().agentAddress,
      simulated: false,
      architecture: 'x86_64',
      cpuCount: 1,
      hypervisor: { kind: 'xen' },
    });
    // Good once: the agent has removed it.
    expect((await host().try(['cat', '/etc/domus/enrol.token'])).code).not.toBe(0);
  });

  inLab('carries files both ways, whole', async () => {
    const data = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
    await host().put(data, '/tmp/there', 0o600);
    expect(await host().get('/tmp/there')).toEqual(data);
    expect(await host().run(['stat', '-c', '%a', '/tmp/there'])).toBe('600\n');
  });

  inLab('hands words to a command as they are', async () => {
    const words = ["it's", 'a  b', '$HOME', '*', '', 'ä;|&'];
    const said = await host().run(['printf', '<%s>', ...words]);
    expect(said).toBe(words.map((word) => `<${word}>`).join(''));
  });

  inLab('reaches nothing of this machine but the enrolment listener', async () => {
    const { port } = new URL(pool.server.url);
    const said = await host().try(['timeout', '5', 'socat', '-u', `TCP:10.0.2.2:${port}`, '-']);
    expect(said.code).not.toBe(0);
  });

  it('leaves nothing when it has ended', async () => {
    const { pid } = host();
    await pool.lab.close();
    expect(identify(pid)).toBeUndefined();
  }, 60_000);
});
