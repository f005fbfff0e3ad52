ipt() { iptables -w 5 -t "$@"; }
for table in mangle nat raw; do
  while ipt $table -D PREROUTING -j ISTIO_PRERT; do :; done
  while ipt $table -D OUTPUT -j ISTIO_OUTPUT; do :; done
  for chain in ISTIO_PRERT ISTIO_OUTPUT; do ipt $table -F $chain; ipt $table -X $chain; done
done 2>/dev/null
ipt() { ip6tables -w 5 -t "$@"; }
for table in mangle nat raw; do
  while ipt $table -D PREROUTING -j ISTIO_PRERT; do :; done
  while ipt $table -D OUTPUT -j ISTIO_OUTPUT; do :; done
  for chain in ISTIO_PRERT ISTIO_OUTPUT; do ipt $table -F $chain; ipt $table -X $chain; done
done 2>/dev/null
while ip -4 rule del pref 32764 2>/dev/null; do :; done; ip -4 route flush table 100 2>/dev/null || true
while ip -6 rule del pref 32764 2>/dev/null; do :; done; ip -6 route flush table 100 2>/dev/null || true
