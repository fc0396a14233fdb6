#!/usr/bin/env bash
# A NAT laboratory of network namespaces: an internet, home routers, hosts behind them.
#
#   scripts/natlab.sh up [KIND_A [KIND_B]]   build it (restricted restricted)
#   scripts/natlab.sh down                   take it away
#   scripts/natlab.sh exec HOST COMMAND...   run a command on a host
#   scripts/natlab.sh nat ROUTER KIND [LO-HI]  make a router another one; its mappings stay
#   scripts/natlab.sh flush ROUTER           forget all mappings, as a reboot does
#   scripts/natlab.sh rebind ROUTER KIND     the same, and new mappings get other ports
#   scripts/natlab.sh timeouts ROUTER SECONDS  how long an idle mapping lives
#   scripts/natlab.sh loss PORT PERCENT      lose UDP both ways; PORT is a router, pub, n1, n2
#   scripts/natlab.sh readdr HOST ADDRESS/BITS  give a host behind a router another address
#
#              pub 203.0.113.10   n1 .21   n2 .22         addresses of their own, no firewall
#                        │          │        │
#          ──────────────┴── internet ───────┴──────────
#                │ .1                        │ .2
#            router A                    router B
#        ┌──────┴──────┐                     │
#    10.0.1.0/24  10.0.3.0/24           10.0.2.0/24
#     a1 .11       a3 .11                b1 .11
#     a2 .12                             b2 .12
#
# Kinds of router. All translate addresses; A routes between its two LANs.
#   open         lets what nobody expects in as far as itself, as a bare Linux router
#   cone         lets anybody in at a port that is in use (full cone), also from its LAN
#   restricted   keeps the port, lets in what was sent to (what most homes have)
#   symmetric    another port for each destination, lets in what was sent to
#   blocked      as restricted, and UDP passes to and from pub alone
#
# It takes root, ip of iproute2 and nft of nftables, and touches nothing outside its
# namespaces. Several labs stand side by side by NATLAB_PREFIX (nl).
set -euo pipefail

prefix=${NATLAB_PREFIX:-nl}
net=203.0.113
hosts=(pub n1 n2 a1 a2 a3 b1 b2)
namespaces=(inet natA natB "${hosts[@]}")

die() {
	printf 'natlab: %s\n' "$*" >&2
	exit 1
}

usage() {
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
	exit 2
}

within() { # NAMESPACE COMMAND...
	local name=$1
	shift
	ip netns exec "$prefix-$name" "$@"
}

number() { # of a router
	case $1 in
	A) echo 1 ;;
	B) echo 2 ;;
	*) die "there are the routers A and B, not $1" ;;
	esac
}

# ruleset prints what nft makes of a router.
ruleset() { # ROUTER KIND [LO-HI]
	local wan lans to='' masquerade input=drop blocked='' cone='' learn='' back=''
	wan=$net.$(number "$1")
	lans="10.0.$(number "$1").0/24, 10.0.3.0/24"
	[[ -z ${3:-} ]] || to=" to :$3"
	masquerade="masquerade$to"
	case $2 in
	restricted) ;;
	open) input=accept ;;
	symmetric) masquerade="masquerade$to random,fully-random" ;;
	blocked) blocked="meta l4proto udp ip saddr != $net.10 ip daddr != $net.10 drop" ;;
	cone)
		cone="ip daddr $wan meta l4proto udp dnat to udp dport map @inside"
		back="iifname \"lan*\" oifname \"lan*\" ct status dnat snat to $wan"
		learn='iifname "lan*" oifname "wan" meta l4proto udp update @inside { udp sport timeout 120s : ip saddr }'
		;;
	*) die "there is no router of the kind $2" ;;
	esac
	cat <<-NFT
		flush ruleset
		table ip natlab {
			map inside { type inet_service : ipv4_addr; flags dynamic,timeout; size 65535; }
			chain incoming { type nat hook prerouting priority dstnat; $cone
			}
			chain outgoing { type nat hook postrouting priority srcnat; $back
				oifname "wan" ip saddr { $lans } meta l4proto udp $masquerade
				oifname "wan" ip saddr { $lans } masquerade
			}
			chain learn { type filter hook forward priority mangle; $learn
			}
			chain forward { type filter hook forward priority filter; policy drop; $blocked
				ct state established,related accept
				iifname "lan*" accept
				ct status dnat accept
			}
			chain input { type filter hook input priority filter; policy accept;
				iifname "wan" ct state established,related accept
				iifname "wan" meta l4proto icmp accept
				iifname "wan" $input
			}
		}
	NFT
}

nat() { ruleset "$@" | within "nat$1" nft -f -; }

# A masquerade forgets what went over an interface that goes down.
flush() {
	number "$1" >/dev/null
	ip -n "$prefix-nat$1" -batch - <<<$'link set wan down\nlink set wan up'
}

# plug connects a host to a bridge in another namespace, at eth0.
plug() { # HOST NAMESPACE BRIDGE ADDRESS/BITS [GATEWAY]
	ip -n "$prefix-$2" -batch - <<-IP
		link add $1 type veth peer name eth0 netns $prefix-$1
		link set $1 master $3 up
	IP
	ip -n "$prefix-$1" -batch - <<-IP
		link set lo up
		addr add $4 dev eth0
		link set eth0 up
		${5:+route add default via $5}
	IP
}

router() { # ROUTER LAN...
	local lan name=nat$1 i=0
	ip -n "$prefix-inet" link add "$name" type veth peer name wan netns "$prefix-$name"
	ip -n "$prefix-inet" link set "$name" master internet up
	within "$name" sh -c 'cd /proc/sys/net
		echo 1 >ipv4/ip_forward; echo 0 >ipv4/conf/all/rp_filter; echo 0 >ipv4/conf/all/send_redirects
		echo 0 >bridge/bridge-nf-call-iptables; echo 0 >bridge/bridge-nf-call-ip6tables; true' 2>/dev/null
	ip -n "$prefix-$name" -batch - <<-IP
		link set lo up
		addr add $net.$(number "$1")/24 dev wan
		link set wan up
	IP
	shift
	for lan in "$@"; do
		i=$((i + 1))
		ip -n "$prefix-$name" -batch - <<-IP
			link add lan$i type bridge
			addr add 10.0.$lan.1/24 dev lan$i
			link set lan$i up
		IP
	done
}

up() {
	local name
	down
	trap 'down' ERR
	for name in "${namespaces[@]}"; do echo "netns add $prefix-$name"; done | ip -batch -
	ip -n "$prefix-inet" -batch - <<<$'link add internet type bridge\nlink set internet up'
	within inet sh -c 'echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables' 2>/dev/null || true
	plug pub inet internet $net.10/24
	plug n1 inet internet $net.21/24
	plug n2 inet internet $net.22/24
	router A 1 3
	router B 2
	plug a1 natA lan1 10.0.1.11/24 10.0.1.1
	plug a2 natA lan1 10.0.1.12/24 10.0.1.1
	plug a3 natA lan2 10.0.3.11/24 10.0.3.1
	plug b1 natB lan1 10.0.2.11/24 10.0.2.1
	plug b2 natB lan1 10.0.2.12/24 10.0.2.1
	nat A "${1:-restricted}"
	nat B "${2:-restricted}"
	trap - ERR
}

down() {
	local name
	for name in "${namespaces[@]}"; do
		[[ -e /run/netns/$prefix-$name ]] || continue
		ip netns pids "$prefix-$name" | xargs -r kill -9
		echo "netns del $prefix-$name"
	done | ip -batch -
}

# Loss is on the internet's side, so that what is lost has left its trace in the router.
loss() {
	local port=$1
	[[ $port != [AB] ]] || port=nat$port
	within inet nft -f - <<-NFT
		table netdev loss_$port
		delete table netdev loss_$port
	NFT
	[[ $2 != 0 ]] || return 0
	within inet nft -f - <<-NFT
		table netdev loss_$port {
			chain up { type filter hook ingress device "$port" priority 0; ip protocol udp numgen random mod 1000 < $(($2 * 10)) drop; }
			chain down { type filter hook egress device "$port" priority 0; ip protocol udp numgen random mod 1000 < $(($2 * 10)) drop; }
		}
	NFT
}

readdr() {
	ip -n "$prefix-$1" -batch - <<-IP
		addr flush dev eth0
		addr add $2 dev eth0
		route add default via ${2%.*}.1
	IP
}

for tool in ip nft; do
	command -v $tool >/dev/null || die "$tool is missing: install iproute2 and nftables"
done
((EUID == 0)) || die 'it takes root, or a user namespace (unshare -Urnm, and a tmpfs on /run)'
command=${1:-}
shift || true
case $command/$# in
up/[012]) up "$@" ;;
down/0) down ;;
exec/*) within "$@" ;;
nat/[23]) nat "$@" ;;
flush/1) flush "$1" ;;
rebind/2)
	nat "$1" "$2" 20000-20999
	flush "$1"
	;;
timeouts/2) within "nat$1" sh -c "cd /proc/sys/net/netfilter && echo $2 >nf_conntrack_udp_timeout && echo $2 >nf_conntrack_udp_timeout_stream" ;;
loss/2) loss "$@" ;;
readdr/2) readdr "$@" ;;
*) usage ;;
esac
