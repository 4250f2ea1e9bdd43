// OHIF's configuration, read before its bundle. Strings under `extensions` and `modes` are modules that it loads at run time.
const OTHER_MODES = ['longitudinal', 'segmentation', 'tmtv', 'microscopy', 'preclinical-4d', 'ultrasound-pleura-bline', 'basic'];
const PACS = '/proxy/dicom';

window.config = {
  name: 'renal-loop',
  routerBasename: null,
  showStudyList: true,
  extensions: ['/ohif/renal/extension.js'],
  modes: ['/ohif/renal/mode.js'],
  modesConfiguration: Object.fromEntries(OTHER_MODES.map(mode => [`@ohif/mode-${mode}`, { hide: { $set: true } }])),
  customizationService: [{ 'segmentation.store.defaultMode': { $set: 'bitmap' } }],
  whiteLabeling: {
    createLogoComponentFn(React) {
      window.renalReact = React; // the one way to OHIF's own React
      return React.createElement('a', { href: '/', style: { color: '#fff', fontWeight: 600 } }, 'renal-loop');
    },
  },
  investigationalUseDialog: { option: 'never' }, // our own pages say that this is not a medical device
  maxNumberOfWebWorkers: 2,
  strictZSpacingForVolumeViewport: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  showLoadingIndicator: true,
  showErrorDetails: 'dev',
  defaultDataSourceName: 'pacs',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'pacs',
      configuration: {
        friendlyName: 'PACS',
        name: 'pacs',
        qidoRoot: PACS,
        wadoRoot: PACS,
        wadoUriRoot: PACS,
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        dicomUploadEnabled: false,
        omitQuotationForMultipartRequest: true,
        singlepart: 'bulkdata,video,pdf',
        bulkDataURI: { enabled: true },
      },
    },
  ],
};
