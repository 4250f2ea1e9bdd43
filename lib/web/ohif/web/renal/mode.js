// "Annotate": OHIF's own segmentation mode with our panel and our hanging protocol; the case is read before the layout.
import { load } from './case.js';

export default {
  id: 'renal',
  async modeFactory({ loadModules }) {
    const base = (await loadModules(['@ohif/mode-segmentation']))[0].modeInstance;
    const { id, props } = base.routes[0].layoutInstance;
    return {
      ...base,
      id: 'renal',
      routeName: 'annotate',
      displayName: 'Annotate',
      hide: false,
      hangingProtocol: 'renal',
      routes: [
        {
          path: 'annotate',
          async layoutTemplate({ studyInstanceUIDs }) {
            await load(studyInstanceUIDs[0], new URLSearchParams(location.search).get('image'));
            return {
              id,
              props: {
                ...props,
                leftPanels: props.leftPanels,
                leftPanelClosed: true,
                rightPanelClosed: false,
                rightPanels: ['renal.panelModule.annotate'],
                rightPanelInitialExpandedWidth: 340,
              },
            };
          },
        },
      ],
    };
  },
};
