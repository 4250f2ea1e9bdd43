// Runs before OHIF: where its files lie, and how it loads our modules.
window.PUBLIC_URL = '/ohif/';
window.browserImportFunction = address => import(address);
