"""Static files under names that hold their content's hash, the modules that a script imports included."""

from django.contrib.staticfiles.storage import HashedFilesMixin
from whitenoise.storage import CompressedManifestStaticFilesStorage


class ModuleStorage(CompressedManifestStaticFilesStorage):
    """A page's scripts are of one version, whatever a browser kept of an earlier one, and may be kept for good.

    Only our own scripts are read for imports: libraries come whole, in files that import nothing.
    """

    max_post_process_passes = 40  # as long as the longest chain of imports; a circle of them fails
    keep_intermediate_files = False
    support_js_module_import_aggregation = True
    _js_module_import_aggregation_patterns = (
        "js/*.js",
        HashedFilesMixin._js_module_import_aggregation_patterns[1],  # type: ignore[attr-defined] # the stubs lack it
    )
