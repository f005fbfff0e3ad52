nft -f - <<'AMBIENTD_RULES'
table inet istio-ambient-nat {}
delete table inet istio-ambient-nat
table inet istio-ambient-mangle {}
delete table inet istio-ambient-mangle
table inet istio-ambient-raw {}
delete table inet istio-ambient-raw
table inet istio-ambient-nat {
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
  }
  chain output {
    type nat hook output priority -100; policy accept;
  }
}
table inet istio-ambient-mangle {
  chain prerouting {
    type filter hook prerouting priority -150; policy accept;
    meta mark & 0xfff == 0x539 ct mark set ct mark & 0xfffff000 | 0x111
  }
  chain output {
    type route hook output priority -150; policy accept;
    ct mark & 0xfff == 0x111 meta mark set ct mark
  }
}
AMBIENTD_RULES
