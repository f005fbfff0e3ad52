nft -f - <<'AMBIENTD_RULES'
table inet istio-ambient-nat {}
delete table inet istio-ambient-nat
table inet istio-ambient-mangle {}
delete table inet istio-ambient-mangle
table inet istio-ambient-raw {}
delete table inet istio-ambient-raw
AMBIENTD_RULES
while ip -4 rule del pref 32764 2>/dev/null; do :; done; ip -4 route flush table 100 2>/dev/null || true
while ip -6 rule del pref 32764 2>/dev/null; do :; done; ip -6 route flush table 100 2>/dev/null || true
