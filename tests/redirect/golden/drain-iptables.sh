ipt() { iptables -w 5 -t "$@"; }
for table in mangle nat raw; do
  while ipt $table -D PREROUTING -j ISTIO_PRERT; do :; done
  while ipt $table -D OUTPUT -j ISTIO_OUTPUT; do :; done
  for chain in ISTIO_PRERT ISTIO_OUTPUT; do ipt $table -F $chain; ipt $table -X $chain; done
  if [ $table = mangle ]; then ipt mangle -N ISTIO_OUTPUT; ipt mangle -A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff; fi
  if [ $table = mangle ]; then ipt mangle -A OUTPUT -j ISTIO_OUTPUT; fi
  if [ $table = mangle ]; then ipt mangle -N ISTIO_PRERT; ipt mangle -A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff; fi
  if [ $table = mangle ]; then ipt mangle -A PREROUTING -j ISTIO_PRERT; fi
done 2>/dev/null
if [ -e /proc/sys/net/ipv6/conf/lo/disable_ipv6 ] && [ "$(cat /proc/sys/net/ipv6/conf/lo/disable_ipv6)" = 0 ]; then
ipt() { ip6tables -w 5 -t "$@"; }
for table in mangle nat raw; do
  while ipt $table -D PREROUTING -j ISTIO_PRERT; do :; done
  while ipt $table -D OUTPUT -j ISTIO_OUTPUT; do :; done
  for chain in ISTIO_PRERT ISTIO_OUTPUT; do ipt $table -F $chain; ipt $table -X $chain; done
  if [ $table = mangle ]; then ipt mangle -N ISTIO_OUTPUT; ipt mangle -A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff; fi
  if [ $table = mangle ]; then ipt mangle -A OUTPUT -j ISTIO_OUTPUT; fi
  if [ $table = mangle ]; then ipt mangle -N ISTIO_PRERT; ipt mangle -A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff; fi
  if [ $table = mangle ]; then ipt mangle -A PREROUTING -j ISTIO_PRERT; fi
done 2>/dev/null
fi
