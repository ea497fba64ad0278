"""The story that it began with: four generals, one of them dead, and a browser."""

import json
import unittest
import urllib.error
import urllib.request

from cluster import ClusterTest, wait_until


class Generals(ClusterTest):
    def generals(self):
        cluster = self.cluster("--names", "Apple,MS,Google,IBM", "--plugin", "generals", "--demo-get")
        cluster.start().await_up()
        return cluster

    def get(self, url, **headers):
        request = urllib.request.Request(url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def post(self, url, body, content_type):
        request = urllib.request.Request(url, data=body.encode(), headers={"Content-Type": content_type})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def test_war_time_with_ibm_dead(self):
        cluster = self.generals()
        cluster.kill("IBM")
        for i, name in enumerate(["Apple", "MS", "Google"]):
            self.assertEqual(self.get(f"{cluster.http(name)}/req?warTime={1234 + i}"), (200, "ok"))
        self.assertEqual(self.get(f"{cluster.http('MS')}/req?warTime=1234"), (200, "ok"))
        each = json.loads(cluster.ctl("query", "--each", "get", as_json=True, check=False).stdout)
        each = each["replicas"] if isinstance(each, dict) else each
        answers = [row.get("result") for row in each]
        self.assertEqual(answers.count("1234"), 3, each)
        self.assertEqual(cluster.ctl("query", "get").stdout.strip(), "1234")
        cluster.start("IBM").await_up("IBM")
        cluster.await_equal()

    def test_health_status_and_the_gateway_s_manners(self):
        cluster = self.generals()
        base = cluster.http("Google")
        self.assertEqual(self.get(f"{base}/healthz")[0], 200)
        status = json.loads(self.get(f"{base}/status")[1])
        self.assertEqual(status["name"], "Google")
        self.assertEqual(status["primary"], "Apple")
        # A page on another site can make a browser send a GET or a form, but neither of these.
        self.assertEqual(self.get(f"{base}/req?warTime=1", Host="evil.example")[0], 403)
        self.assertGreaterEqual(self.post(f"{base}/exec", '{"words":["warTime","5"]}', "text/plain")[0], 400)
        code, body = self.post(f"{base}/exec", '{"words":["warTime","5"]}', "application/json")
        self.assertEqual((code, json.loads(body)["result"]), (200, "ok"))
        code, body = self.post(f"{base}/query", '{"words":["get"]}', "application/json")
        self.assertEqual((code, json.loads(body)["result"]), (200, "5"))
        self.assertEqual(self.post(f"{base}/exec", '{"words":["nonsense"]}', "application/json")[0], 400)
        self.assertEqual(self.post(f"{base}/exec", "not json", "application/json")[0], 400)

    def test_without_demo_get_a_get_changes_nothing(self):
        cluster = self.cluster("--n", "1", "--plugin", "generals")
        cluster.start().await_up()
        self.assertEqual(self.get(f"{cluster.http(cluster.names[0])}/req?warTime=1")[0], 404)


if __name__ == "__main__":
    unittest.main(verbosity=2)
