"""Pages by app; the API below /api/v1/; probes beside both."""

from csp.decorators import csp_update
from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from annotator.clips.views import home
from annotator.core import health
from annotator.experiments.metrics import metrics

# Swagger UI's own bundle sets inline styles; the exception is for this page alone. Its start-up script is a file of
# its own (the same address with ?script=), so scripts need no exception.
_docs = csp_update({"style-src": ["'unsafe-inline'"]})(SpectacularSwaggerSplitView.as_view(url_name="schema"))

admin.site.site_header = admin.site.site_title = "EMER Workbench"

api = [
    path("", include("annotator.checking.api")),
    path("", include("annotator.clips.api")),
    path("", include("annotator.prelabels.api")),
    path("", include("annotator.snapshots.api")),
    path("", include("annotator.experiments.api")),
]

urlpatterns = [
    path("api/v1/", include(api)),  # first: what is asked most often should not be looked for in every room
    path("", home, name="home"),
    path("accounts/", include("annotator.accounts.urls")),
    path("", include("annotator.clips.urls")),
    path("", include("annotator.prelabels.urls")),
    path("", include("annotator.checking.urls")),
    path("", include("annotator.snapshots.urls")),
    path("", include("annotator.experiments.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", _docs, name="api-docs"),
    path("admin/", admin.site.urls),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", metrics),
]

handler400 = "annotator.core.handlers.bad_request"
handler403 = "annotator.core.handlers.permission_denied"
handler404 = "annotator.core.handlers.not_found"
handler500 = "annotator.core.handlers.server_error"
