/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/names.h"
#include "sandbox/net_host.h"
#include "sandbox/net_plan.h"

#define SYSCTL_IPV4 "/proc/sys/net/ipv4/conf"
#define SYSCTL_IPV6 "/proc/sys/net/ipv6/conf"
#define SYSCTL_PATH_SIZE 80
#define SYSCTL_TIME_WAIT "/proc/sys/net/ipv4/tcp_max_tw_buckets"
#define SYSCTL_ICMP_LIMITED "/proc/sys/net/ipv4/icmp_ratemask" /* kinds, a bit each */

static int
sysctl_path(char path[SYSCTL_PATH_SIZE], const char *family, const char *link, const char *key) {
        int n;

        /* A link's name may be anything but these; sysctl shows '.' and '/' as they are. */
        if (strchr(link, '/') || strcmp(link, "..") == 0 || strcmp(link, ".") == 0)
                return -EINVAL;

        n = snprintf(path, SYSCTL_PATH_SIZE, "%s/%s/%s", family, link, key);
        return n > 0 && n < SYSCTL_PATH_SIZE ? 0 : -ENAMETOOLONG;
}

static int read_switch(const char *family, const char *link, const char *key, bool *ret) {
        char path[SYSCTL_PATH_SIZE], text[16];
        ssize_t n;
        int r;

        r = sysctl_path(path, family, link, key);
        if (r < 0)
                return r;
        n = read_text_at(AT_FDCWD, path, text, sizeof(text));
        if (n < 0)
                return (int)n;

        *ret = text[0] == '1';
        return 0;
}

int net_host_forwarding(const char *link, bool *ret) {
        return read_switch(SYSCTL_IPV4, link, "forwarding", ret);
}

int net_host_set_forwarding(const char *link, bool on) {
        char path[SYSCTL_PATH_SIZE];
        int r;

        assert(strcmp(link, "all") != 0); /* the host's own decision */

        r = sysctl_path(path, SYSCTL_IPV4, link, "forwarding");
        if (r < 0)
                return r;

        return write_text_at(AT_FDCWD, path, on ? "1" : "0");
}

bool net_host_has_ipv6(void) {
        return access(SYSCTL_IPV6 "/all", F_OK) == 0;
}

int net_host_ipv6(const char *link, bool *ret) {
        bool off;
        int r;

        r = read_switch(SYSCTL_IPV6, link, "disable_ipv6", &off);
        if (r < 0)
                return r;
        *ret = !off;
        return 0;
}

int net_host_disable_ipv6(const char *link) {
        char path[SYSCTL_PATH_SIZE];
        int r;

        r = sysctl_path(path, SYSCTL_IPV6, link, "disable_ipv6");
        if (r < 0)
                return r;

        return write_text_at(AT_FDCWD, path, "1");
}

int net_host_count_no_errors(void) {
        return write_text_at(AT_FDCWD, SYSCTL_ICMP_LIMITED, "0");
}

int net_host_remember_few_closed(void) {
        return write_text_at(AT_FDCWD, SYSCTL_TIME_WAIT, "16384");
}

typedef struct RouteWalk {
        const char *instance;
        NetRouteHandler handler;
        void *userdata;
        /* The last name looked up: routes of one link mostly follow each other. */
        int ifindex;
        char link[IFNAMSIZ];
} RouteWalk;

static void hand_over(RouteWalk *walk, NetRoute *route, int ifindex) {
        uint32_t slot;

        if (ifindex != walk->ifindex) {
                walk->ifindex = 0;
                walk->link[0] = '\0'; /* blackholes have no link */
                /* Gone since: then its route is no route any more. */
                if (ifindex > 0 && !if_indextoname((unsigned)ifindex, walk->link))
                        return;
                walk->ifindex = ifindex;
        }
        memcpy(route->link, walk->link, sizeof(route->link));
        if (net_plan_link_slot(walk->instance, route->link, &slot) == 0)
                return;

        walk->handler(route, walk->userdata);
}

static int walk_route(struct nlmsghdr *answer, void *userdata) {
        RouteWalk *walk = userdata;
        const struct rtmsg *rtm = nlmsg_data(answer);
        struct nlattr *attrs[RTA_MAX + 1] = {0};
        NetRoute route = {0};

        if (answer->nlmsg_type != RTM_NEWROUTE ||
            nlmsg_parse(answer, sizeof(*rtm), attrs, RTA_MAX, NULL) < 0)
                return 0;
        if (rtm->rtm_family != AF_INET)
                return 0;

        route.prefix = rtm->rtm_dst_len;
        route.type = rtm->rtm_type;
        if (attrs[RTA_DST] && nla_len(attrs[RTA_DST]) == (int)sizeof(route.dst))
                memcpy(&route.dst, nla_data(attrs[RTA_DST]), sizeof(route.dst));

        if (attrs[RTA_MULTIPATH]) {
                struct rtnexthop *hop = nla_data(attrs[RTA_MULTIPATH]);
                int left = nla_len(attrs[RTA_MULTIPATH]);

                for (; RTNH_OK(hop, left); left -= NLMSG_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
                        hand_over(walk, &route, hop->rtnh_ifindex);
                return 0;
        }

        hand_over(walk, &route, attrs[RTA_OIF] ? (int)nla_get_u32(attrs[RTA_OIF]) : 0);
        return 0;
}

int net_host_routes(NetRtnl *host, const char *instance, NetRouteHandler handler, void *userdata) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
        struct rtmsg rtm = {.rtm_family = AF_INET};
        RouteWalk walk = {.instance = instance, .handler = handler, .userdata = userdata};
        int r;

        assert(handler);

        if (!msg || nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO) < 0)
                return -ENOMEM;

        r = net_rtnl_query(host, msg, walk_route, &walk);
        /* A list that changed meanwhile is as good as one read a moment earlier. */
        return r == -EINTR ? 0 : r;
}

bool net_uplinks_contain(const NetUplinks *uplinks, const char *name) {
        for (size_t i = 0; i < uplinks->n; i++)
                if (strcmp(uplinks->name[i], name) == 0)
                        return true;
        return false;
}

/* The way to one dyno of another instance: a /30 on a link with an instance's kind of name. */
static bool is_dyno_route(const NetRoute *route) {
        char instance[INSTANCE_NAME_SIZE];
        const char *dash = strchr(route->link, '-');
        size_t len = dash ? (size_t)(dash - route->link) : 0;
        uint32_t slot;

        if (route->prefix != NET_DYNO_PREFIX || len == 0 || len >= sizeof(instance))
                return false;
        memcpy(instance, route->link, len);
        instance[len] = '\0';
        return instance_name_is_valid(instance) &&
               net_plan_link_slot(instance, route->link, &slot) == 0;
}

static void collect_uplink(const NetRoute *route, void *userdata) {
        NetUplinks *uplinks = userdata;

        if (route->type != RTN_UNICAST || route->link[0] == '\0' ||
            strcmp(route->link, "lo") == 0 || is_dyno_route(route) ||
            uplinks->n == NET_UPLINKS_MAX || net_uplinks_contain(uplinks, route->link))
                return;

        memcpy(uplinks->name[uplinks->n++], route->link, IFNAMSIZ);
}

int net_host_uplinks(NetRtnl *host, const char *instance, NetUplinks *ret) {
        assert(ret);

        ret->n = 0;
        return net_host_routes(host, instance, collect_uplink, ret);
}

typedef struct Way {
        uint8_t type; /* RTN_UNSPEC: there is none */
        int ifindex;
} Way;

static int take_way(struct nlmsghdr *answer, void *userdata) {
        const struct rtmsg *rtm = nlmsg_data(answer);
        struct nlattr *attrs[RTA_MAX + 1] = {0};
        Way *way = userdata;

        if (answer->nlmsg_type != RTM_NEWROUTE ||
            nlmsg_parse(answer, sizeof(*rtm), attrs, RTA_MAX, NULL) < 0)
                return 0;
        way->type = rtm->rtm_type;
        way->ifindex = attrs[RTA_OIF] ? (int)nla_get_u32(attrs[RTA_OIF]) : 0;
        return 0;
}

static int find_way(NetRtnl *host, struct in_addr address, Way *ret) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
        struct rtmsg rtm = {.rtm_family = AF_INET, .rtm_dst_len = 32};
        int r;

        *ret = (Way){.type = RTN_UNSPEC};
        if (!msg || nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO) < 0 ||
            nla_put(msg, RTA_DST, sizeof(address), &address) < 0)
                return -ENOMEM;

        r = net_rtnl_query(host, msg, take_way, ret);
        /* Nowhere; the last two are of a route that says so. */
        return r == -ENETUNREACH || r == -EHOSTUNREACH || r == -EINVAL || r == -EACCES ? 0 : r;
}

int net_host_way_to(NetRtnl *host, struct in_addr address, int *ret_ifindex) {
        Way way;
        int r;

        assert(ret_ifindex);

        r = find_way(host, address, &way);
        if (r < 0)
                return r;
        *ret_ifindex = way.type == RTN_UNICAST ? way.ifindex : 0;
        return 0;
}

int net_host_is_local(NetRtnl *host, struct in_addr address, bool *ret) {
        Way way;
        int r;

        assert(ret);

        r = find_way(host, address, &way);
        if (r < 0)
                return r;
        *ret = way.type == RTN_LOCAL;
        return 0;
}

static struct nl_msg *rule_message(int type, int flags, uint32_t mark) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
        struct fib_rule_hdr rule = {.family = AF_INET, .action = FR_ACT_BLACKHOLE};

        if (!msg || nlmsg_append(msg, &rule, sizeof(rule), NLMSG_ALIGNTO) < 0 ||
            nla_put_u32(msg, FRA_PRIORITY, NET_RULE_PRIORITY) < 0 ||
            nla_put_u32(msg, FRA_FWMARK, mark) < 0 || nla_put_u32(msg, FRA_FWMASK, UINT32_MAX) < 0)
                return NULL;
        return TAKE_PTR(msg);
}

int net_host_add_rule(NetRtnl *host, uint32_t mark) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg =
                rule_message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, mark);
        int r;

        r = net_rtnl_request(host, msg);
        return r == -EEXIST ? 0 : r;
}

int net_host_remove_rule(NetRtnl *host, uint32_t mark) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = rule_message(RTM_DELRULE, 0, mark);
        int r;

        r = net_rtnl_request(host, msg);
        return r == -ENOENT ? 0 : r;
}

typedef struct RuleSearch {
        uint32_t mark;
        bool found;
} RuleSearch;

static int match_rule(struct nlmsghdr *answer, void *userdata) {
        const struct fib_rule_hdr *rule = nlmsg_data(answer);
        struct nlattr *attrs[FRA_MAX + 1] = {0};
        RuleSearch *search = userdata;

        if (answer->nlmsg_type == RTM_NEWRULE && rule->action == FR_ACT_BLACKHOLE &&
            nlmsg_parse(answer, sizeof(*rule), attrs, FRA_MAX, NULL) >= 0 && attrs[FRA_FWMARK] &&
            nla_get_u32(attrs[FRA_FWMARK]) == search->mark)
                search->found = true;
        return 0;
}

int net_host_check_rule(NetRtnl *host, uint32_t mark) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETRULE, NLM_F_DUMP);
        struct fib_rule_hdr rule = {.family = AF_INET};
        RuleSearch search = {.mark = mark};
        int r;

        if (!msg || nlmsg_append(msg, &rule, sizeof(rule), NLMSG_ALIGNTO) < 0)
                return -ENOMEM;
        r = net_rtnl_query(host, msg, match_rule, &search);
        if (r < 0 && r != -EINTR)
                return r;

        return search.found ? 0 : -ENOENT;
}
