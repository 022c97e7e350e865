"""Names that the gateway's files and HAProxy share; paths are below the state folder, where HAProxy runs. Pure."""

STATE = "gateway/state.json"
CONFIG = "gateway/haproxy.cfg"
ROUTING_MAP = "gateway/routing.map"
ROUTES_MAP = "gateway/routes.map"
GROUPS_MAP = "gateway/groups.map"

NO_ROW = "-"  # of a service that nobody was sent to yet: names no backend
NO_PORT = 1  # of a place where nobody stands; it is under maintenance, nothing is ever sent there
