// The extension that OHIF loads at run time: our panel and our hanging protocol, no build step and no fork.
import { connect } from './viewer.js';
import { protocol } from './protocol.js';
import './panel.js';

const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: '/ohif/renal/panel.css' });
document.head.append(style);

export default {
  id: 'renal',
  preRegistration: connect,
  getHangingProtocolModule: () => [{ name: 'renal', protocol }],
  getPanelModule: () => [
    {
      name: 'annotate',
      iconName: 'tab-segmentation',
      iconLabel: 'Annotate',
      label: 'Annotate',
      component: () => window.renalReact.createElement('renal-panel'),
    },
  ],
};
